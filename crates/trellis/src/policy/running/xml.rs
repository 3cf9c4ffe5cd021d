//! XML answers as elements.

use anyhow::{Context as _, bail};
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};

/// An element without its prefix and attributes.
#[derive(Debug, Default)]
pub(super) struct Element {
    name: String,
    pub(super) text: String,
    children: Vec<Element>,
}

impl Element {
    fn new(start: &BytesStart<'_>) -> anyhow::Result<Self> {
        let name = std::str::from_utf8(start.local_name().into_inner())?.to_owned();
        Ok(Self { name, ..Self::default() })
    }

    pub(super) fn children(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The first of that name, however deep.
    pub(super) fn find(&self, name: &str) -> Option<&Self> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|child| child.find(name))
    }
}

pub(super) fn parse(text: &[u8]) -> anyhow::Result<Element> {
    let mut reader = Reader::from_str(std::str::from_utf8(text)?);
    // The root's parent.
    let mut open = vec![Element::default()];
    loop {
        let mut put = |text: &str| {
            if let Some(element) = open.last_mut() {
                element.text.push_str(text);
            }
        };
        match reader.read_event()? {
            Event::Text(text) => put(&text.decode()?),
            Event::GeneralRef(reference) => match reference.resolve_char_ref()? {
                Some(character) => put(character.encode_utf8(&mut [0; 4])),
                None => {
                    let name = reference.decode()?;
                    put(resolve_xml_entity(&name).with_context(|| format!("there is no entity {name}"))?);
                }
            },
            Event::Start(start) => open.push(Element::new(&start)?),
            Event::Empty(start) => {
                let element = Element::new(&start)?;
                open.last_mut().context("an element after the end")?.children.push(element);
            }
            Event::End(_) => {
                let element = open.pop().context("an end without a beginning")?;
                open.last_mut().context("an end without a beginning")?.children.push(element);
            }
            Event::Eof => break,
            _ => {}
        }
    }
    match open.len() {
        1 => Ok(open.remove(0)),
        _ => bail!("it ends before its elements do"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_name_and_texts_are_whole() {
        let text = "<R xmlns='u'><Tags><member><Key>a</Key><Value>1 &amp; &#50;</Value></member><member/></Tags></R>";
        let root = parse(text.as_bytes()).unwrap();
        assert_eq!(root.find("Value").unwrap().text, "1 & 2");
        assert_eq!(root.find("Tags").unwrap().children("member").count(), 2);
        assert!(root.find("Nothing").is_none());
        for broken in ["<a>", "</a>", "<a></b>", "<a>&unknown;</a>"] {
            assert!(parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
