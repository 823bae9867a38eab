//! Variants: files that lie beside a file and hold it compressed, as `gzip --keep` makes them.

use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::answer::Prepared;
use crate::codings::{Accepted, Coding};
use crate::conditions::Validators;
use crate::root::{Document, Opened, Root};

/// What is kept with an open file.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// For requests that name the file.
    as_named: OnceCell<Prepared>,
    /// For requests that name the file of which this is a variant. There is only one.
    as_variant: OnceCell<Prepared>,
    /// When this file was found without a variant, by coding.
    lacked_at: [Cell<Option<Instant>>; Coding::ALL.len()],
}

/// How long a file is taken to lack a variant that was looked for: as long as an open file is taken
/// to be what it was.
const LACK_VALIDITY: Duration = Duration::from_secs(1);

impl Root {
    /// The variant of a document that the client wants most, or the document itself.
    ///
    /// A variant that is older than the file was made of what the file was before, and is ignored. So
    /// is one that cannot be opened: the client takes the file as it is, too.
    pub(crate) async fn in_wanted_coding(&self, plain: Document, accepted: &Accepted) -> Document {
        for coding in accepted.preferred() {
            let lacked_at = &plain.kept().lacked_at[coding as usize];
            if lacked_at.get().is_some_and(|at| at.elapsed() < LACK_VALIDITY) {
                continue;
            }
            let now = Instant::now();
            match self.get(&path_of(&plain.path, coding)).await {
                Ok(opened) if is_variant(&opened, &plain.opened) => {
                    return Document { opened, path: plain.path, coding: Some(coding) };
                }
                Ok(_) | Err(_) => lacked_at.set(Some(now)),
            }
        }
        plain
    }
}

impl Document {
    /// What is made of the file once, and needed for each request.
    pub(crate) fn prepared(&self) -> &Prepared {
        let kept = self.kept();
        let prepared = if self.coding.is_none() { &kept.as_named } else { &kept.as_variant };
        prepared.get_or_init(|| {
            let validators = Validators::of(self.opened.metadata());
            Prepared::new(validators, &self.path, self.coding)
        })
    }

    fn kept(&self) -> &Kept {
        self.opened.value_with(|_| Kept::default())
    }
}

fn is_variant(opened: &Opened, plain: &Opened) -> bool {
    let is_older =
        || Validators::of(opened.metadata()).is_older_than(&Validators::of(plain.metadata()));
    opened.metadata().is_file() && !is_older()
}

fn path_of(plain: &Path, coding: Coding) -> PathBuf {
    let mut path = plain.as_os_str().to_owned();
    path.push(coding.suffix());
    path.into()
}
