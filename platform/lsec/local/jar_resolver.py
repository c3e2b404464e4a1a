"""Makes the jar lock anew: what `org.neo4j:neo4j` needs, resolved by Maven or by jgo.

Apart from the other modules since jgo takes most of a second to load.
"""

import shutil
import tempfile
from pathlib import Path

from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext, MvnResolver, PythonResolver

from lsec.local.jar_lock import NEO4J_VERSION, Jar, JarLock, sha256_of

DEFAULT_MAVEN_URL = str(MAVEN_CENTRAL_URL)


def resolve_lock(version: str = NEO4J_VERSION, *, maven_url: str | None = None) -> JarLock:
    """Resolve `org.neo4j:neo4j` anew and hash what it needs at run time.

    Maven itself where it is installed: it mediates versions as the makers of Neo4j do. Otherwise jgo's
    own resolver, which picks newer versions in a few places and keeps some test dependencies.
    """
    mvn = shutil.which("mvn")
    with tempfile.TemporaryDirectory(prefix="lsec-jars-") as folder:
        context = MavenContext(
            resolver=MvnResolver(Path(mvn)) if mvn else PythonResolver(),
            repo_cache=Path(folder),
            remote_repos={"central": maven_url or DEFAULT_MAVEN_URL},
            timeout=60,
        )
        # "!": without the versions that Neo4j manages for its own build, as a plain Maven project gets it.
        wanted = context.create_dependency(f"org.neo4j:neo4j:{version}!")
        inputs, transitive = context.resolver.resolve([wanted])
        jars = []
        for dependency in {str(each): each for each in [*inputs, *transitive]}.values():
            path = dependency.artifact.resolve()
            parts = (dependency.groupId, dependency.artifactId, dependency.version, dependency.classifier)
            coordinate = ":".join(part for part in parts if part)
            jars.append(Jar(coordinate, path.name, path.stat().st_size, sha256_of(path)))
    return JarLock(version, tuple(sorted(jars, key=lambda jar: jar.coordinate)))
