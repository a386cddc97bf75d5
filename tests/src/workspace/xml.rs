//! XML of the legacy protocol, flattened: each element's path and text.

use quick_xml::Reader;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;

/// A document's root, its namespace, and its elements in their order.
pub(super) struct Document {
    pub(super) root: String,
    pub(super) namespace: String,
    elements: Vec<(String, String)>,
}

impl Document {
    /// Reads a whole document.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        let mut document = Self { root: String::new(), namespace: String::new(), elements: Vec::new() };
        let mut open: Vec<usize> = Vec::new();
        loop {
            let event = reader.read_event().map_err(|error| format!("no XML: {error}"))?;
            match event {
                Event::Start(start) => {
                    let at = document.begin(&start, &open)?;
                    open.push(at);
                }
                Event::Empty(start) => {
                    document.begin(&start, &open)?;
                }
                Event::End(_) => {
                    open.pop();
                }
                Event::Text(text) => document.append(&open, &text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let name = reference.xml10_content();
                    let plain = quick_xml::escape::unescape(&format!("&{name};")).map(String::from);
                    document.append(&open, &plain.map_err(|error| format!("no XML: {error}"))?);
                }
                Event::Eof if open.is_empty() && !document.root.is_empty() => return Ok(document),
                Event::Eof => return Err("the XML ends too early".to_owned()),
                _ => {}
            }
        }
    }

    /// Returns the text of the element at a path below the root (`a/b`).
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        let mut found = self.elements.iter().filter(|(at, _)| at == path);
        found.next().map(|(_, text)| text.as_str())
    }

    /// Returns the children of the root: names and texts in their order.
    pub(super) fn children(&self) -> impl Iterator<Item = (&str, &str)> {
        let child = |(path, _): &&(String, String)| !path.is_empty() && !path.contains('/');
        self.elements.iter().filter(child).map(|(path, text)| (path.as_str(), text.as_str()))
    }

    fn begin(&mut self, start: &BytesStart<'_>, open: &[usize]) -> Result<usize, String> {
        let name = start.name().0.to_owned();
        let path = match open.last() {
            None if !self.root.is_empty() => return Err("the XML has two roots".to_owned()),
            None => {
                self.namespace = namespace(start);
                self.root = name;
                String::new()
            }
            Some(parent) if self.elements[*parent].0.is_empty() => name,
            Some(parent) => format!("{}/{name}", self.elements[*parent].0),
        };
        self.elements.push((path, String::new()));
        Ok(self.elements.len() - 1)
    }

    fn append(&mut self, open: &[usize], text: &str) {
        if let Some(at) = open.last() {
            self.elements[*at].1.push_str(text);
        }
    }
}

fn namespace(start: &BytesStart<'_>) -> String {
    let attribute = start.try_get_attribute("xmlns").ok().flatten();
    attribute.map(|found| found.value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_their_paths_and_their_texts() {
        let text = "<?xml version=\"1.0\"?>\n<R xmlns=\"n\"><A>x &amp;\ny</A><B><C/><D>1</D></B></R>";
        let document = Document::parse(text).expect("a document");
        assert_eq!((document.root.as_str(), document.namespace.as_str()), ("R", "n"));
        assert_eq!(document.text("A"), Some("x &\ny"));
        assert_eq!(
            (document.text("B/C"), document.text("B/D"), document.text("D")),
            (Some(""), Some("1"), None)
        );
        assert_eq!(document.children().map(|(name, _)| name).collect::<Vec<_>>(), ["A", "B"]);
        for wrong in ["", "<R>", "<R></S>", "<R/><R/>", "text"] {
            assert!(Document::parse(wrong).is_err(), "{wrong}");
        }
    }
}
