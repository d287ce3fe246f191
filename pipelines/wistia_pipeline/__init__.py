"""Run the Wistia pipeline: load, model, report; and a sandbox to try it against."""
