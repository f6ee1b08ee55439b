"""The networks of Vose et al. (2019), section 4.3, and small ones."""
