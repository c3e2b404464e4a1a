// Releases, their slates and vectors, and the one pointer to the active release.
CREATE CONSTRAINT release_id IF NOT EXISTS FOR (n:Release) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT active_pointer IF NOT EXISTS FOR (n:ActivePointer) REQUIRE n.name IS UNIQUE;
CREATE CONSTRAINT slate_of_user IF NOT EXISTS FOR (n:Slate) REQUIRE (n.release_id, n.user_id) IS UNIQUE;
CREATE CONSTRAINT vector_of_item IF NOT EXISTS FOR (n:Vector) REQUIRE (n.release_id, n.kind, n.item_id) IS UNIQUE;
CREATE VECTOR INDEX vector_values IF NOT EXISTS FOR (n:Vector) ON (n.values)
OPTIONS {indexConfig: {`vector.similarity_function`: 'cosine', `vector.quantization.enabled`: false}};
