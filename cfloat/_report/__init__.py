"""Error reports: measurements, baselines to compare with, tables, the page, plots."""
