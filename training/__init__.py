"""From labelled photographs to a model bundle that workers load: `python -m training fit | evaluate | export`."""
