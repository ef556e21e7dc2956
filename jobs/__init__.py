"""What Ray executes: each module runs as `python -m jobs.NAME`, and only here is ray imported."""
