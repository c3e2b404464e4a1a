// The vectors' index knows their release and kind, so that a search looks at those of one release alone.
DROP INDEX vector_values IF EXISTS;
CYPHER 25 CREATE VECTOR INDEX vector_of_release IF NOT EXISTS FOR (n:Vector) ON (n.values) WITH [n.release_id, n.kind]
OPTIONS {indexConfig: {`vector.similarity_function`: 'cosine', `vector.quantization.enabled`: false}};
