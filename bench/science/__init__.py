"""The experiments behind README's science section: `python -m bench.science` runs them all."""
