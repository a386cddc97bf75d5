use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::BytesRef;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;

use super::EventError;
use super::NAMESPACE;
use super::WindowsEvent;
use super::level;
use super::name;
use super::sid;
use super::time;

/// Most elements within one another; the schema has four levels and a provider's own data few more.
const DEEPEST: usize = 64;
/// Most bytes of the text of one element of `System`.
const LONGEST_TEXT: usize = 64 * 1024;

/// Which child of `Event` is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    None,
    System,
    /// `EventData`, `UserData` or what stands in their place.
    Data,
    Rendering,
}

/// An event in the making.
struct Reading<'a> {
    xml: &'a str,
    event: WindowsEvent,
    section: Section,
    depth: usize,
    /// Text of the element that is open below `System` or `RenderingInfo`.
    text: String,
    /// Where the values begin, and how their element is called.
    data: Option<(usize, &'static str)>,
    /// The values, as they are written.
    values: Option<(&'a str, &'static str)>,
    /// Where the text of an element begins that has had no child yet.
    leaf: Option<usize>,
    keywords: u64,
    rendered_level: Option<String>,
}

pub(super) fn read(xml: &str) -> Result<WindowsEvent, EventError> {
    let mut reader = Reader::from_str(xml);
    let mut reading = Reading {
        xml,
        event: WindowsEvent::default(),
        section: Section::None,
        depth: 0,
        text: String::new(),
        data: None,
        values: None,
        leaf: None,
        keywords: 0,
        rendered_level: None,
    };
    let mut rooted = false;
    loop {
        let before = position(&reader);
        let event = reader.read_event().map_err(|_| EventError::Xml("it is not well formed"))?;
        let after = position(&reader);
        match event {
            Event::Start(start) => {
                rooted = reading.root(&start, rooted)?;
                reading.open(&start, after)?;
            }
            Event::Empty(start) => {
                rooted = reading.root(&start, rooted)?;
                reading.open(&start, after)?;
                reading.close(start.local_name().as_ref(), after)?;
            }
            Event::End(end) => reading.close(end.local_name().as_ref(), before)?,
            Event::Text(text) => reading.push(&text.xml10_content()),
            Event::CData(text) => reading.push(&text.xml10_content()),
            Event::GeneralRef(entity) => reading.push(&character(&entity)?),
            Event::DocType(_) => return Err(EventError::Xml("it declares a document type")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof if reading.depth > 0 => return Err(EventError::Xml("it ends too early")),
            Event::Eof => return if rooted { Ok(reading.finish()) } else { Err(EventError::Root) },
        }
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

/// Returns what a reference stands for: XML's own five entities and characters by number, nothing declared.
fn character(entity: &BytesRef<'_>) -> Result<String, EventError> {
    if let Some(letter) = entity.resolve_char_ref().map_err(|_| EventError::Xml("a character is none"))? {
        return Ok(letter.to_string());
    }
    let known = resolve_predefined_entity(&entity.xml10_content()).map(str::to_owned);
    known.ok_or(EventError::Xml("it has an entity that XML does not know"))
}

impl<'a> Reading<'a> {
    fn root(&self, start: &BytesStart<'_>, rooted: bool) -> Result<bool, EventError> {
        match (rooted, self.depth) {
            (false, _) if start.local_name().as_ref() != "Event" => Err(EventError::Root),
            (true, 0) => Err(EventError::Xml("it has more than one root")),
            _ => Ok(true),
        }
    }

    fn open(&mut self, start: &BytesStart<'_>, after: usize) -> Result<(), EventError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(EventError::Xml("its elements are too deep within one another"));
        }
        self.leaf = (self.section == Section::Data).then_some(after);
        match (self.depth, self.section) {
            (2, _) => {
                self.section = self.section_of(start.local_name().as_ref(), after);
            }
            (3, Section::System) => {
                self.text.clear();
                self.attributes(start);
            }
            (3, Section::Rendering) => self.text.clear(),
            _ => {}
        }
        Ok(())
    }

    fn section_of(&mut self, name: &str, after: usize) -> Section {
        let data = match name {
            "System" => return Section::System,
            "RenderingInfo" => return Section::Rendering,
            "EventData" => "EventData",
            "UserData" => "UserData",
            "ProcessingErrorData" => "ProcessingErrorData",
            "BinaryEventData" => "BinaryEventData",
            "DebugData" => "DebugData",
            _ => return Section::None,
        };
        if self.values.is_some() {
            return Section::None;
        }
        self.data = Some((after, data));
        Section::Data
    }

    fn attributes(&mut self, start: &BytesStart<'_>) {
        let attribute = |name: &str| {
            let attribute = start.try_get_attribute(name).ok()??;
            Some(attribute.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned())
        };
        match start.local_name().as_ref() {
            "Provider" => {
                let named = attribute("Name").filter(|name| !name.is_empty());
                let source = named.or_else(|| attribute("EventSourceName")).unwrap_or_default();
                self.event.source = name(&source);
            }
            "TimeCreated" => {
                self.event.time = attribute("SystemTime").and_then(|text| time(&text));
            }
            "Security" => {
                let user = attribute("UserID").filter(|user| !user.is_empty());
                self.event.user = user.map(|user| name(sid::account(&user)));
            }
            _ => {}
        }
    }

    /// An element ends; `before` is where its text ends.
    fn close(&mut self, element: &str, before: usize) -> Result<(), EventError> {
        match (self.depth, self.section) {
            (0, _) => return Err(EventError::Xml("it is not well formed")),
            (2, Section::Data) => {
                let inner =
                    self.data.take().and_then(|(from, name)| Some((self.xml.get(from..before)?, name)));
                self.values = inner.filter(|(inner, _)| !inner.is_empty());
            }
            (2, _) => self.section = Section::None,
            (3, Section::System) => self.system(element),
            (3, Section::Rendering) => self.rendering(element),
            (_, Section::Data) => self.parameter(element, before),
            _ => {}
        }
        if self.depth == 2 {
            self.section = Section::None;
        }
        self.depth -= 1;
        Ok(())
    }

    fn system(&mut self, element: &str) {
        let text = self.text.trim();
        match element {
            // Classic events carry a facility and a severity above the 16 bits, in `Qualifiers` or here.
            "EventID" => self.event.id = text.parse::<u32>().ok().map(|id| (id & 0xffff) as u16),
            "Level" => self.event.level = text.parse().ok(),
            "Task" => self.event.category = text.parse().ok(),
            "Keywords" => self.keywords = level::keywords(text),
            "EventRecordID" => self.event.record_id = text.parse().ok(),
            "Channel" => self.event.event_log = name(text),
            "Computer" => self.event.computer = name(text),
            _ => {}
        }
    }

    fn rendering(&mut self, element: &str) {
        match element {
            "Message" if !self.text.trim().is_empty() => {
                self.event.description = Some(self.text.trim().to_owned());
            }
            "Level" => self.rendered_level = Some(name(&self.text)),
            _ => {}
        }
    }

    fn parameter(&mut self, element: &str, before: usize) {
        let Some(from) = self.leaf.take() else { return };
        if element != "Binary" {
            self.event.parameter_xml.push_str("<Param>");
            self.event.parameter_xml.push_str(self.xml.get(from..before).unwrap_or_default());
            self.event.parameter_xml.push_str("</Param>");
        }
    }

    fn push(&mut self, text: &str) {
        let inside = self.depth == 3 && matches!(self.section, Section::System | Section::Rendering);
        if inside && self.text.len() + text.len() <= LONGEST_TEXT {
            self.text.push_str(text);
        }
    }

    fn finish(mut self) -> WindowsEvent {
        let rendered = self.rendered_level.as_deref();
        self.event.level_name =
            self.event.level.and_then(|number| level::level_name(number, self.keywords, rendered));
        if let Some((values, element)) = self.values {
            let time = self.event.time.and_then(|time| jiff::Timestamp::from_microsecond(time.0).ok());
            let time = time.map(|time| format!(" time=\"{time}\"")).unwrap_or_default();
            self.event.event_data = format!(
                "<DataItem type=\"System.XmlData\"{time}><{element} xmlns=\"{NAMESPACE}\">{values}</{element}></DataItem>"
            );
        }
        self.event
    }
}
