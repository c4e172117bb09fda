"""The learned simulator: tokenizer, dynamics, heads, data and training losses."""
