"""An index of plugins: static files made from wheels, and what reads them."""
