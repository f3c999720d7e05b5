//! What the checks look at: the members of the workspace and their texts, read once.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, Package};

use super::Source;
use crate::failure::{Failure, Result};

/// Stand-ins for other people's crates keep to other people's rules.
const THIRD_PARTY: &str = "third_party";

/// The texts of the workspace. Paths are relative to its root, with `/` on every system.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Every member but the stand-ins for third parties.
    pub(crate) crates: Vec<Crate>,
    /// Everything that is not Rust: manifests, Markdown, SQL.
    pub(crate) texts: BTreeMap<String, String>,
}

/// One member of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) folder: String,
    /// What its manifest asks for inside this workspace.
    pub(crate) needs: Vec<Need>,
    pub(crate) sources: Vec<Source>,
}

/// A dependency of one member on another.
#[derive(Debug)]
pub(crate) struct Need {
    pub(crate) name: String,
    pub(crate) kind: DependencyKind,
}

impl Crate {
    /// The path of its manifest.
    pub(crate) fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

impl Tree {
    /// Reads every member that is not a stand-in, and `docs/`.
    pub(crate) fn load(root: &Path, metadata: &Metadata) -> Result<Self> {
        let mut tree = Self::default();
        for package in metadata.workspace_packages() {
            let folder = relative(root, package.manifest_path.as_std_path().parent().unwrap_or(root));
            if folder.starts_with(THIRD_PARTY) {
                continue;
            }
            let mut member =
                Crate { name: package.name.to_string(), needs: needs(package), folder, ..Crate::default() };
            tree.read_folder(root, &member.folder, &mut member.sources)?;
            tree.crates.push(member);
        }
        if root.join("docs").is_dir() {
            tree.read_folder(root, "docs", &mut Vec::new())?;
        }
        Ok(tree)
    }

    /// The Rust file with this path.
    pub(crate) fn source(&self, path: &str) -> Option<&Source> {
        self.sources().find(|source| source.path() == path)
    }

    /// Every Rust file.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.crates.iter().flat_map(|member| &member.sources)
    }

    fn read_folder(&mut self, root: &Path, folder: &str, sources: &mut Vec<Source>) -> Result<()> {
        for path in texts_below(&root.join(folder))? {
            let text = fs::read_to_string(&path).map_err(|error| Failure::at(&path, &error))?;
            let name = relative(root, &path);
            if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(Source::new(&name, text));
            } else {
                self.texts.insert(name, text);
            }
        }
        Ok(())
    }

    /// A tree of one crate with these Rust files, for the tests of the checks.
    #[cfg(test)]
    pub(crate) fn of(crate_name: &str, files: &[(&str, &str)]) -> Self {
        let path = |file: &str| format!("{crate_name}/{file}");
        let sources = files.iter().map(|(file, text)| Source::new(&path(file), (*text).to_owned())).collect();
        let member = Crate { name: crate_name.to_owned(), folder: crate_name.to_owned(), sources, ..Crate::default() };
        Self { crates: vec![member], texts: BTreeMap::new() }
    }
}

/// The members of this workspace that a manifest names: a dependency with a path, outside `third_party/`.
fn needs(package: &Package) -> Vec<Need> {
    let ours = package.dependencies.iter().filter(|dependency| {
        let path = dependency.path.as_ref();
        path.is_some_and(|path| !path.components().any(|part| part.as_str() == THIRD_PARTY))
    });
    ours.map(|dependency| Need { name: dependency.name.clone(), kind: dependency.kind }).collect()
}

/// Returns the texts below `folder` in the order of their names, without hidden folders and build output.
fn texts_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut texts = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| Failure::at(&folder, &error))? {
            let path = entry.map_err(|error| Failure::at(&folder, &error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let skipped = name.starts_with('.') || name == "target";
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if is_text(&path) {
                texts.push(path);
            }
        }
    }
    texts.sort();
    Ok(texts)
}

fn is_text(path: &Path) -> bool {
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| {
        let texts = ["rs", "md", "sql", "toml"];
        texts.contains(&extension)
    })
}

fn relative(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path);
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::Cargo;

    #[test]
    fn this_repository_is_read_whole() {
        let cargo = Cargo::find().unwrap();
        let tree = Tree::load(cargo.root(), cargo.metadata()).unwrap();
        assert!(
            tree.source("xtask/src/tree/workspace.rs").is_some_and(|source| source.text().contains("is_read_whole"))
        );
        assert!(tree.source("cayenne-format/tests/it/main.rs").is_some());
        assert!(tree.texts.contains_key("xtask/README.md") && tree.texts.contains_key("xtask/Cargo.toml"));
        assert!(tree.sources().all(|source| !source.path().starts_with(THIRD_PARTY)));
    }

    #[test]
    fn needs_are_the_dependencies_inside_the_workspace() {
        let cargo = Cargo::find().unwrap();
        let tree = Tree::load(cargo.root(), cargo.metadata()).unwrap();
        let needs = |name: &str| {
            let member = tree.crates.iter().find(|member| member.name == name).unwrap();
            member.needs.iter().map(|need| need.name.as_str()).collect::<Vec<_>>()
        };
        assert!(needs("cayenne-table").contains(&"cayenne-format"));
        assert!(needs("xtask").is_empty());
    }
}
