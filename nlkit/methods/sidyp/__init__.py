"""SiDyP: `method` is how it learns, `plain` says all of it on one page, README.md in equations."""
