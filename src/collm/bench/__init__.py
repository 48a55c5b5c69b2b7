"""``collm bench``: what training costs here, and what it costs with CoMLRL on equal work (docs/performance.md)."""
