"""What the service tells of itself: `logs.py` (JSON lines) and `meters.py` (Prometheus)."""
