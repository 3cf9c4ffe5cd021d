//! Answers of EC2 and STS as a tree, to look into by path.

use quick_xml::Reader;
use quick_xml::events::Event;

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Node>,
}

impl Node {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut reader = Reader::from_str(text);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) => {
                    let name = String::from_utf8(tag.local_name().as_ref().to_vec()).unwrap();
                    open.push(Self { name, ..Self::default() });
                }
                Event::Empty(tag) => {
                    let name = String::from_utf8(tag.local_name().as_ref().to_vec()).unwrap();
                    open.last_mut().unwrap().children.push(Self { name, ..Self::default() });
                }
                Event::End(_) => {
                    let done = open.pop().unwrap();
                    open.last_mut().unwrap().children.push(done);
                }
                Event::Text(piece) => open.last_mut().unwrap().text.push_str(&piece.decode().unwrap()),
                Event::GeneralRef(entity) => {
                    let character = match &*entity.decode().unwrap() {
                        "quot" => '"',
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "apos" => '\'',
                        other => panic!("entity {other} in {text}"),
                    };
                    open.last_mut().unwrap().text.push(character);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        open.pop().unwrap().children.pop().unwrap_or_else(|| panic!("no element in {text}"))
    }

    /// The first node at `path`, names separated by `/`; an empty one when there is none.
    pub(crate) fn at(&self, path: &str) -> Self {
        let mut node = self;
        for name in path.split('/') {
            match node.children.iter().find(|child| child.name == name) {
                Some(child) => node = child,
                None => return Self::default(),
            }
        }
        node.clone()
    }

    pub(crate) fn text(&self, path: &str) -> String {
        self.at(path).text
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        !self.at(path).name.is_empty()
    }

    /// The items of the list at `path`.
    pub(crate) fn items(&self, path: &str) -> Vec<Self> {
        self.at(path).children
    }

    /// The text at `field` of every item of the list at `path`.
    pub(crate) fn texts(&self, path: &str, field: &str) -> Vec<String> {
        self.items(path).iter().map(|item| item.text(field)).collect()
    }

    /// `tagSet` as pairs.
    pub(crate) fn tags(&self) -> Vec<(String, String)> {
        self.items("tagSet").iter().map(|tag| (tag.text("key"), tag.text("value"))).collect()
    }
}
