"""Error reports: measurements, schemes to compare with, tables, the page, plots."""
