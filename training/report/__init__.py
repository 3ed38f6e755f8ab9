"""What a run looks like: one self-contained page of curves, tables and pictures.

`reading` takes the run's files in, the other modules each make one section of them, `page` writes the page. Reading order:
`page`, `reading`, `headline`, then any section.
"""
