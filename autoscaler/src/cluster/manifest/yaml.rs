//! YAML text to Kubernetes objects, with the lines where they stand. The only file that knows the
//! YAML library.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_path_to_error::Segment;
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};

use super::{Finding, Source};

/// One object of a manifest.
pub(super) struct Object<'a> {
    pub(super) path: &'a Path,
    /// Line of its first field, from 1.
    pub(super) line: u64,
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) value: Value,
    /// Where it is written; none inside a List, where the item is not a document.
    document: Option<Document<'a>>,
}

/// One document of a file.
#[derive(Clone, Copy)]
struct Document<'a> {
    text: &'a str,
    /// Lines of the file before it.
    lines_before: u64,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Spanned<Value>>,
}

/// The shape of a document, each part with its line.
enum Lines {
    Mapping(BTreeMap<String, Spanned<Self>>),
    Sequence(Vec<Spanned<Self>>),
    Scalar,
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LinesVisitor)
    }
}

struct LinesVisitor;

impl<'de> Visitor<'de> for LinesVisitor {
    type Value = Lines;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            fields.insert(key, value);
        }
        Ok(Lines::Mapping(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Lines, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Lines::Sequence(items))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Lines, E> {
        Ok(Lines::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Lines, E> {
        Ok(Lines::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Lines, E> {
        Ok(Lines::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Lines, E> {
        Ok(Lines::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Lines, E> {
        Ok(Lines::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Lines, E> {
        Ok(Lines::Scalar)
    }
}

/// The objects of one source, Lists unfolded, in order; documents that hold none become faults.
pub(super) fn objects<'a>(source: &'a Source, faults: &mut Vec<Finding>) -> Vec<Object<'a>> {
    let mut objects = Vec::new();
    for document in documents(&source.text) {
        match in_document(&source.path, document) {
            Ok(found) => {
                for object in found {
                    match object {
                        Ok(object) => objects.push(object),
                        Err(fault) => faults.push(fault),
                    }
                }
            }
            Err(fault) => faults.push(fault),
        }
    }
    objects
}

impl Object<'_> {
    /// Kind, namespace and name, for people.
    pub(super) fn label(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }

    /// A remark on this object.
    pub(super) fn finding(&self, text: impl Into<String>) -> Finding {
        Finding {
            path: self.path.to_owned(),
            line: Some(self.line),
            object: Some(self.label()),
            text: text.into(),
        }
    }

    /// The object as its Kubernetes type. A fault names the field, and the line where it is known.
    pub(super) fn typed<T: DeserializeOwned>(&self) -> Result<T, Finding> {
        // JSON is as strict on types as the API server, and knows the value and its field.
        let error = match serde_path_to_error::deserialize(&self.value) {
            Ok(typed) => return Ok(typed),
            Err(error) => error,
        };
        let field = error.path().to_string();
        let is_text = ["metadata.annotations.", "metadata.labels."];
        let hint = match is_text.iter().any(|map| field.contains(map)) {
            true => "; the values here are text: put it in quotes",
            false => "",
        };
        let line = self.document.and_then(|document| document.line_of(error.path()));
        let fault = self.finding(format!("{field}: {}{hint}", error.inner()));
        Err(Finding { line: line.or(fault.line), ..fault })
    }
}

impl Document<'_> {
    /// The line of the field at that path, or of what it is missing in.
    fn line_of(&self, path: &serde_path_to_error::Path) -> Option<u64> {
        let options = serde_saphyr::options! { with_snippet: false };
        let whole = serde_saphyr::from_str_with_options(self.text, options);
        let mut node: &Spanned<Lines> = &whole.ok()?;
        for segment in path {
            node = match (segment, &node.value) {
                (Segment::Map { key }, Lines::Mapping(fields)) => fields.get(key),
                (Segment::Seq { index }, Lines::Sequence(items)) => items.get(*index),
                _ => None,
            }
            .unwrap_or(node);
        }
        Some(self.lines_before + node.referenced.line())
    }

    fn line(&self, error: &serde_saphyr::Error) -> Option<u64> {
        error.location().map(|location| self.lines_before + location.line())
    }
}

/// Splits at lines that begin with `---`: YAML lets no document contain one.
fn documents(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut lines_before) = (0, 0);
    let mut at = 0;
    for (line, index) in text.split_inclusive('\n').zip(0..) {
        let marker = line.strip_prefix("---");
        if marker.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])) {
            documents.push(Document { text: &text[start..at], lines_before });
            (start, lines_before) = (at, index);
        }
        at += line.len();
    }
    documents.push(Document { text: &text[start..], lines_before });
    documents
}

/// The objects of one document; none if it is empty.
fn in_document<'a>(
    path: &'a Path,
    document: Document<'a>,
) -> Result<Vec<Result<Object<'a>, Finding>>, Finding> {
    let value: Spanned<Value> = parse(path, document)?;
    if value.value.is_null() {
        return Ok(Vec::new());
    }
    let is_list = value.value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    if is_list && value.value["items"].is_array() {
        let list: List = parse(path, document)?;
        let item = |item: Spanned<Value>| {
            object(path, document.lines_before + item.referenced.line(), item.value, None)
        };
        return Ok(list.items.into_iter().map(item).collect());
    }
    let line = document.lines_before + value.referenced.line();
    Ok(vec![object(path, line, value.value, Some(document))])
}

fn parse<T: DeserializeOwned>(path: &Path, document: Document<'_>) -> Result<T, Finding> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(document.text, options).map_err(|error| Finding {
        path: path.to_owned(),
        line: document.line(&error),
        object: None,
        text: format!("not valid YAML: {}", message(&error)),
    })
}

fn object<'a>(
    path: &'a Path,
    line: u64,
    value: Value,
    document: Option<Document<'a>>,
) -> Result<Object<'a>, Finding> {
    let fault = |text: &str| Finding {
        path: path.to_owned(),
        line: Some(line),
        object: None,
        text: format!("not a Kubernetes object: {text}"),
    };
    let api_version = value["apiVersion"].as_str();
    let (Some(api_version), Some(kind)) = (api_version, value["kind"].as_str()) else {
        return Err(fault("expected a mapping with apiVersion and kind"));
    };
    let metadata = &value["metadata"];
    let Some(name) = metadata["name"].as_str().filter(|name| is_dns_name(name)) else {
        return Err(fault("metadata.name must be a lower-case DNS name"));
    };
    let namespace = match &metadata["namespace"] {
        Value::Null => Some("default"),
        namespace => namespace.as_str().filter(|name| is_dns_name(name)),
    };
    let Some(namespace) = namespace else {
        return Err(fault("metadata.namespace must be a lower-case DNS name"));
    };
    Ok(Object {
        path,
        line,
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        value,
        document,
    })
}

/// RFC 1123 subdomain, as Kubernetes asks of names.
fn is_dns_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let bytes = label.as_bytes();
            bytes.iter().all(|&byte| inner(byte) || byte == b'-')
                && bytes.first().is_some_and(|&byte| inner(byte))
                && bytes.last().is_some_and(|&byte| inner(byte))
        })
}

fn message(error: &serde_saphyr::Error) -> String {
    UserMessageFormatter.format_message(error.without_snippet()).into_owned()
}
