//! Apache Kafka, from the Maven repositories.
//!
//! In: the cache. Out: a folder of jars, and the Java to run them.
//!
//! # Invariants
//! - Pinned by version, and by one SHA-256 over the sorted lines `JAR SHA256` of all jars, the
//!   indirect dependencies included.
//! - Kafka 4 needs Java 17.
//!
//! Deliberately unknown here: how a broker is configured.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};

use super::{Cache, Progress, digest_of, has_extension, on_path, run_client};

const VERSION: &str = "4.1.1";
const SHA256: &str = "1b99f073a43e87b2736a310489b83812e46b68a9b65835edd475056461ae1646";
const JAVA_AT_LEAST: u32 = 17;

/// Pinned, so that a build of ours does not change with a plugin's release.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// Kafka's broker logs through SLF4J; `slf4j-simple` is the smallest thing that prints it.
const POM: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>trailhouse</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>4.1.1</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"#;

/// The folder with Kafka's jars, fetched where it is not in the cache.
pub fn kafka_jars(cache: &Cache) -> anyhow::Result<PathBuf> {
    let folder = cache.obtain(&format!("kafka-{VERSION}"), |partial| {
        let mvn = on_path("mvn").context(
            "Maven is needed to fetch Apache Kafka: install `mvn`, or pass `--kafka in-process` \
             or `--kafka HOST:PORT`",
        )?;
        let progress = Progress::start(format!("Apache Kafka {VERSION}"), None);
        fs::write(partial.join("pom.xml"), POM)?;
        let mut command = Command::new(mvn);
        command
            .args(["-q", "-B", COPY, "-DincludeScope=runtime", "-DoutputDirectory=jars"])
            .current_dir(partial);
        run_client(command, &partial.join("mvn.log"), partial, &progress)
            .context("Apache Kafka could not be fetched; `--kafka in-process` needs none of it")?;
        check(&partial.join("jars"), SHA256)?;
        progress.finish();
        Ok(())
    })?;
    Ok(folder.join("jars"))
}

/// The Java to run Kafka with: `JAVA_HOME`'s, else the one on `PATH`, and new enough.
pub fn java() -> anyhow::Result<PathBuf> {
    let of_home = std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let fix = "install Java 17 or newer, or pass `--kafka in-process` or `--kafka HOST:PORT`";
    let java = of_home.filter(|java| java.is_file()).or_else(|| on_path("java"));
    let java = java.with_context(|| format!("Apache Kafka needs Java: {fix}"))?;
    let output = Command::new(&java).arg("-version").output();
    let output = output.with_context(|| format!("cannot run {}", java.display()))?;
    // Java prints its version to stderr.
    let text = String::from_utf8_lossy(&output.stderr);
    match major(&text) {
        Some(version) if version >= JAVA_AT_LEAST => Ok(java),
        Some(version) => bail!("{} is Java {version}, too old for Kafka: {fix}", java.display()),
        None => bail!("{} does not tell its version ({}): {fix}", java.display(), text.trim()),
    }
}

/// The major version in what `java -version` prints: 17 of `"17.0.15"`, 8 of `"1.8.0_392"`.
fn major(text: &str) -> Option<u32> {
    let quoted = text.split('"').nth(1)?;
    let mut parts = quoted.split(['.', '-', '_', '+']).map(str::parse::<u32>);
    match parts.next()?.ok()? {
        1 => parts.next()?.ok(),
        major => Some(major),
    }
}

fn check(jars: &Path, expected: &str) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(jars)? {
        let path = entry?.path();
        if !has_extension(&path, "jar") {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        lines.push(format!("{name} {}\n", hex(&digest_of::<Sha256>(&path)?)));
    }
    lines.sort();
    let found = hex(&Sha256::digest(lines.concat()));
    ensure!(
        found == expected,
        "the {} jars Maven gave for Kafka {VERSION} are not those that were pinned: look for a \
         changed or truncated one in Maven's local repository, delete it there and start again\n  \
         expected {expected}\n  found    {found}\n{}",
        lines.len(),
        lines.concat()
    );
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_kind_of_java() {
        let table = [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime", Some(17)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"22-ea\" 2024-03-19", Some(22)),
            ("java version \"1.8.0_392\"", Some(8)),
            ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
            ("", None),
        ];
        for (text, version) in table {
            assert_eq!(major(text), version, "{text}");
        }
    }

    #[test]
    fn the_pinned_version_is_the_one_in_the_pom() {
        assert!(POM.contains(&format!("<version>{VERSION}</version>")));
    }

    #[test]
    fn a_jar_changed_added_or_renamed_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("a.jar", "a");
        write("b.jar", "b");
        write("notes.txt", "not a jar");
        let error = check(dir.path(), "").unwrap_err().to_string();
        let pin = error.split("found    ").nth(1).unwrap().lines().next().unwrap().to_owned();
        check(dir.path(), &pin).unwrap();
        write("a.jar", "c");
        assert!(check(dir.path(), &pin).is_err());
        write("a.jar", "a");
        write("c.jar", "c");
        assert!(check(dir.path(), &pin).is_err());
        fs::remove_file(dir.path().join("c.jar")).unwrap();
        fs::rename(dir.path().join("b.jar"), dir.path().join("d.jar")).unwrap();
        assert!(check(dir.path(), &pin).is_err());
    }
}
