"""The networks of P3, section 4.3, and the small ones of its plain experiments."""
