"""The SQL models on Spark, from Parquet files that dlt has written where all its workers can read them."""
