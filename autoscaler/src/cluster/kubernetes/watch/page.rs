//! A page of a list, of which each object is read by itself.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cluster::kubernetes::objects::Watched;

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Page<'t> {
    pub(super) metadata: PageMetadata,
    /// Parts of the text, not copies: beside the page there is never more than one object.
    #[serde(borrow, default)]
    items: Option<Vec<&'t RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMetadata {
    #[serde(default)]
    pub(super) resource_version: String,
    #[serde(default)]
    pub(super) r#continue: String,
}

/// An object of a page.
#[derive(Clone, Copy)]
pub(super) struct Item<'t>(&'t RawValue);

/// What may still be read of an object that cannot be read.
#[derive(Deserialize)]
struct Named {
    metadata: Names,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    namespace: String,
    name: String,
}

impl<'t> Page<'t> {
    /// The page of that text.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn read(text: &'t str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Its objects.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'t>> {
        self.items.iter().flatten().map(|item| Item(item))
    }
}

impl Item<'_> {
    /// The object.
    ///
    /// # Errors
    /// It is none of this kind, or not as we know them.
    pub(super) fn read<O: Watched>(self) -> Result<O, serde_json::Error> {
        serde_json::from_str(self.0.get())
    }

    /// Its namespace and name; empty if it says neither.
    pub(super) fn name(self) -> String {
        let named = serde_json::from_str(self.0.get());
        let named = named.map(|Named { metadata: Names { namespace, name } }| match &*namespace {
            "" => name,
            namespace => format!("{namespace}/{name}"),
        });
        named.unwrap_or_default()
    }
}
