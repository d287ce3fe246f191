"""What the schemas of a warehouse are called."""

DATASET = "wistia_raw"
"""The schema that is loaded."""


def model_schemas(dataset: str) -> tuple[str, str, str]:
    """The schemas of the models that are built from a dataset: of marts, staging and intermediate ones.

    `wistia` beside `wistia_raw`; those of staging and intermediate models begin with it.
    """
    marts = dataset.replace("_raw", "", 1)
    return marts, f"{marts}_staging", f"{marts}_intermediate"
