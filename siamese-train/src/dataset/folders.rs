//! Sets in folders: one folder a class, named by it, with its pictures.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::pictures::{self, Options};
use super::{Class, ClassNames, Dataset};

/// A set that was read from folders, and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// The images with their classes, and the classes' names.
    pub set: Dataset,
    /// The file of each image, in the images' order.
    pub paths: Vec<PathBuf>,
    /// Files that could not be read, and why; none unless they are skipped.
    pub bad: Vec<(PathBuf, String)>,
    /// Files that are no pictures.
    pub passed_over: usize,
    /// Pictures whose dark ink on bright ground was turned over.
    pub turned: usize,
}

impl Folders {
    /// Reads the pictures in the folders of `path`, each fitted into `width` x
    /// `height` pixels. The folders' names are the classes'; those that `names`
    /// knows have its labels, the others new ones.
    ///
    /// # Errors
    /// One sentence that names the place: there are no folders, or one without
    /// a picture; two names that can't be told apart; a picture that can't be
    /// read, unless such are skipped.
    pub fn read(
        path: &Path,
        names: &ClassNames,
        (width, height): (usize, usize),
        options: &Options,
    ) -> Result<Self> {
        let folders = pictures::class_folders(path)?;
        ensure!(
            !folders.is_empty(),
            "{} holds no folders; put the pictures of each class into a folder of its name, such \
             as {}",
            path.display(),
            path.join("cat").display()
        );
        let mut names = names.clone();
        let called: Vec<&str> = folders.iter().map(|(name, _)| name.as_str()).collect();
        let labels = names
            .label_all(&called)
            .with_context(|| format!("cannot use the folders of {}", path.display()))?;
        let mut class_of: HashMap<PathBuf, Class> = HashMap::new();
        let mut files = Vec::new();
        let mut passed_over = 0;
        for ((_, folder), label) in folders.iter().zip(labels) {
            let found = pictures::find(folder)?;
            ensure!(
                !found.files.is_empty(),
                "{} holds no picture; put some there, or remove the folder",
                folder.display()
            );
            passed_over += found.passed_over;
            class_of.extend(found.files.iter().map(|file| (file.clone(), label)));
            files.extend(found.files);
        }
        let read = pictures::read(&files, width, height, options)?;
        let labels = read.paths.iter().map(|path| class_of[path]).collect();
        Ok(Self {
            set: Dataset::new(read.images, labels)?.with_names(names),
            paths: read.paths,
            bad: read.bad,
            passed_over,
            turned: read.turned,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn picture(path: &Path, grey: u8) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut image = image::GrayImage::new(28, 28);
        for (x, y) in (10..18).flat_map(|x| (6..22).map(move |y| (x, y))) {
            image.put_pixel(x, y, image::Luma([grey]));
        }
        image.save(path).unwrap();
    }

    #[test]
    fn folders_are_classes_and_a_second_set_has_their_labels() {
        let folder = tempfile::tempdir().unwrap();
        let (train, test) = (folder.path().join("train"), folder.path().join("test"));
        for (class, file, grey) in [("dog", "a", 200), ("dog", "b", 210), ("cat", "c", 220)] {
            picture(&train.join(class).join(format!("{file}.png")), grey);
        }
        fs::write(train.join("dog/notes.txt"), "no picture").unwrap();
        picture(&test.join("dog/d.png"), 230);
        picture(&test.join("cow/e.png"), 240);
        let options = Options::default();
        let read = |path: &Path, names| Folders::read(path, names, (28, 28), &options).unwrap();
        let none = ClassNames::numbers();
        let train = read(&train, &none);
        assert_eq!(train.set.labels, [0, 1, 1]);
        assert_eq!(train.set.names.get(1), "dog");
        assert_eq!((train.passed_over, train.paths.len()), (1, 3));
        let test = read(&test, &train.set.names);
        let named: Vec<String> = test
            .set
            .labels
            .iter()
            .map(|&label| test.set.names.get(label))
            .collect();
        assert_eq!(named, ["cow", "dog"]);
        assert_eq!(test.set.labels, [2, 1]);
    }

    #[test]
    fn places_that_hold_no_set_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let read = || {
            let names = ClassNames::numbers();
            Folders::read(folder.path(), &names, (28, 28), &Options::default())
        };
        let error = read().unwrap_err().to_string();
        assert!(error.contains("no folders"), "{error}");
        fs::create_dir(folder.path().join("cat")).unwrap();
        let error = read().unwrap_err().to_string();
        assert!(error.contains("cat holds no picture"), "{error}");
        for class in ["7", "07"] {
            picture(&folder.path().join(class).join("a.png"), 255);
        }
        picture(&folder.path().join("cat/a.png"), 255);
        let error = format!("{:#}", read().unwrap_err());
        assert!(
            error.contains("\"7\"") && error.contains("\"07\""),
            "{error}"
        );
    }
}
