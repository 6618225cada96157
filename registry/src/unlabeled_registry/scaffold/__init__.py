"""New plugin projects: `names` says what one may be called, `render` writes it from the templates beside it."""
