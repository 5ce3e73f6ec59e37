"""What the DAGs are made of: a package a DAG, and here what several of them use."""
