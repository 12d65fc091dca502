"""Machinery of `fetch`: HTTP downloads, S3 buckets, zip archives."""
