"""Pure estimators of influence: rows in, tables out."""
