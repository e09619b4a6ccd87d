"""Tables as plain data, and written as Markdown, CSV, LaTeX and HTML."""
