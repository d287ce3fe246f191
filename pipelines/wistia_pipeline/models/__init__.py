"""The SQL models of `sql/`: how they are set, built and described."""
