// Loaded before the page is drawn, so that a reader's choice of colours does not flash.
"use strict";
// Storage is refused to some pages opened from a file: the choice then lasts as long as the page.
window.courseTheme = {
  kept() {
    try {
      return localStorage.getItem("nlkit-theme");
    } catch {
      return null;
    }
  },
  keep(theme) {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("nlkit-theme", theme);
    } catch {
      // Nothing is lost but the memory of it.
    }
  },
};
if (["light", "dark"].includes(courseTheme.kept())) {
  document.documentElement.dataset.theme = courseTheme.kept();
}
