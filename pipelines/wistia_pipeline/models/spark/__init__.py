"""The SQL models on Spark, from Parquet files that dlt has written where all its workers can read them."""

from .build import SparkResult, build_on_spark
from .session import SparkBuild

__all__ = ["SparkBuild", "SparkResult", "build_on_spark"]
