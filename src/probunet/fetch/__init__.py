"""Machinery of `fetch`: HTTP downloads, S3 buckets, zip and tar archives."""
