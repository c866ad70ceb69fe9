"""Sphinx's settings for the course as static pages (`make site`)."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE))  # course.py

project = "nlkit: learning from noisy labels"
language = "en"
extensions = ["myst_nb", "course"]

# The repository itself is the source folder, so that links lead where they lead on GitHub.
root_doc = "notebooks/build/site/index"
include_patterns = [
    f"{root_doc}.md",
    "notebooks/[0-9][0-9]_*.ipynb",
    "notebooks/README.md",
    "nlkit/methods/*/README.md",
]
exclude_patterns = [entry.name for entry in ROOT.iterdir() if entry.name not in ("nlkit", "notebooks")]

nb_execution_mode = "off"  # shown as committed
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]  # GitHub's ```math
myst_heading_anchors = 4
# They stay in the repository: a link to them becomes its words.
nitpick_ignore = [("myst", "CONTRIBUTING"), ("myst", "README"), ("myst", "benchmarks/README")]

html_theme = "furo"
html_title = project
pygments_dark_style = "github-dark"
html_math_renderer = "mathml"
html_static_path = ["course.css"]
html_css_files = ["course.css"]
html_extra_path = ["index.html"]  # leads to root_doc's page
html_copy_source = False
html_show_copyright = False
html_use_index = False
html_show_search_summary = False  # would fetch the pages found, which file:// does not allow
