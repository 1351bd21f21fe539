"""Writing what was found: TSV, JSON, Markdown, HTML."""
