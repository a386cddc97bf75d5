use super::*;
use crate::record::Record;
use crate::record::Value;
use crate::record::frame_at;
use proptest::prelude::*;

const SERVICE: &str = r#"<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider Name='Service Control Manager' Guid='{555908d1-a6d7-4695-8e1e-26931d2012f4}' EventSourceName='Service Control Manager'/><EventID Qualifiers='16384'>7036</EventID><Version>0</Version><Level>4</Level><Task>0</Task><Opcode>0</Opcode><Keywords>0x8080000000000000</Keywords><TimeCreated SystemTime='2026-11-22T11:16:15.2273841Z'/><EventRecordID>4711</EventRecordID><Correlation/><Execution ProcessID='612' ThreadID='9'/><Channel>System</Channel><Computer>edge7.plant.example</Computer><Security/></System><EventData><Data Name='param1'>Print &amp; Fax</Data><Data Name='param2'>running</Data><Binary>50007200</Binary></EventData></Event>"#;

fn event(system: &str, rest: &str) -> WindowsEvent {
    let xml = format!("<Event xmlns='{NAMESPACE}'><System>{system}</System>{rest}</Event>");
    WindowsEvent::parse(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"))
}

#[test]
fn a_classic_event_becomes_the_row_that_the_table_has() {
    let event = WindowsEvent::parse(SERVICE).unwrap();
    let mut frames = Frames::default();
    event.write(&mut frames, Timestamp(0));
    let record = Record::decode(frame_at(frames.bytes()).unwrap().payload).unwrap();
    assert_eq!(record.time(), Timestamp(1_795_346_175_227_384));
    assert_eq!(event.record_id, Some(4711));
    let data = format!(
        "<DataItem type=\"System.XmlData\" time=\"2026-11-22T11:16:15.227384Z\"><EventData xmlns=\"{NAMESPACE}\"><Data Name='param1'>Print &amp; Fax</Data><Data Name='param2'>running</Data><Binary>50007200</Binary></EventData></DataItem>"
    );
    let mut values: Vec<_> = record.values().collect();
    values.sort_by_key(|(column, _)| *column);
    let expected = [
        (Column::Computer, Value::Text("edge7.plant.example")),
        (Column::Source, Value::Text("Service Control Manager")),
        (Column::EventLog, Value::Text("System")),
        (Column::EventLevel, Value::Integer(4)),
        (Column::EventLevelName, Value::Text("Information")),
        (Column::EventId, Value::Integer(7036)),
        (Column::EventCategory, Value::Integer(0)),
        (Column::UserName, Value::Text("N/A")),
        (Column::ParameterXml, Value::Text("<Param>Print &amp; Fax</Param><Param>running</Param>")),
        (Column::EventData, Value::Text(&data)),
    ];
    assert_eq!(values, expected);
}

#[test]
fn levels_have_the_names_of_the_table_and_audits_those_of_their_keywords() {
    let cases = [
        ("0", "0x8080000000000000", Some("Information")),
        ("0", "0x8020000000000000", Some("Audit Success")),
        ("0", "0x8010000000000000", Some("Audit Failure")),
        ("1", "0x0", Some("Error")),
        ("2", "0x8010000000000000", Some("Error")),
        ("3", "", Some("Warning")),
        ("4", "nonsense", Some("Information")),
        ("5", "0x0", Some("Verbose")),
        ("16", "0x0", None),
        ("256", "0x0", None),
        ("-1", "0x0", None),
    ];
    for (level, keywords, name) in cases {
        let event = event(&format!("<Level>{level}</Level><Keywords>{keywords}</Keywords>"), "");
        assert_eq!(event.level_name.as_deref(), name, "{level} {keywords}");
        assert_eq!(event.level, level.parse().ok());
    }
    let own =
        event("<Level>16</Level>", "<RenderingInfo Culture='en-US'><Level>Trace</Level></RenderingInfo>");
    assert_eq!(own.level_name.as_deref(), Some("Trace"));
}

#[test]
fn an_identifier_is_known_without_its_qualifiers() {
    for (text, id) in [("7036", Some(7036)), ("1073748860", Some(7036)), ("x", None), ("", None)] {
        assert_eq!(event(&format!("<EventID>{text}</EventID>"), "").id, id, "{text}");
    }
}

#[test]
fn accounts_of_every_machine_have_names_and_others_their_sid() {
    let cases = [
        ("<Security UserID='S-1-5-18'/>", Some(r"NT AUTHORITY\SYSTEM")),
        ("<Security UserID='S-1-5-21-1-2-3-1001'></Security>", Some("S-1-5-21-1-2-3-1001")),
        ("<Security UserID=''/>", None),
        ("<Security/>", None),
        ("", None),
    ];
    for (text, user) in cases {
        assert_eq!(event(text, "").user.as_deref(), user, "{text}");
    }
}

#[test]
fn every_leaf_of_a_providers_own_data_is_a_parameter() {
    let rest = "<UserData><s:Log xmlns:s='urn:x'><s:Channel>Security</s:Channel><s:Empty/><s:In><s:Deep>a&lt;b</s:Deep></s:In></s:Log></UserData>";
    let event = event("", rest);
    assert_eq!(event.parameter_xml, "<Param>Security</Param><Param></Param><Param>a&lt;b</Param>");
    let inner = "<s:Log xmlns:s='urn:x'><s:Channel>";
    assert!(
        event.event_data.contains(&format!("<UserData xmlns=\"{NAMESPACE}\">{inner}")),
        "{}",
        event.event_data
    );
    assert!(event.event_data.ends_with("</s:Log></UserData></DataItem>"));
}

#[test]
fn values_without_names_or_elements_are_parameters_and_none_are_none() {
    let of = |data: &str| event("", &format!("<EventData>{data}</EventData>")).parameter_xml;
    assert_eq!(
        of("<Data>first</Data><Data/><Data></Data>"),
        "<Param>first</Param><Param></Param><Param></Param>"
    );
    assert_eq!(of("<Binary>00</Binary>"), "");
    assert_eq!(of(""), "");
    assert_eq!(event("", "<EventData/>").event_data, "");
    assert_eq!(event("", "").event_data, "");
}

#[test]
fn a_message_that_came_with_a_forwarded_event_is_its_description() {
    let rest = "<RenderingInfo Culture='en-US'><Message>The service&#13;\n entered &quot;running&quot;.</Message><Level>Information</Level></RenderingInfo>";
    assert_eq!(event("", rest).description.as_deref(), Some("The service\r\n entered \"running\"."));
    assert_eq!(event("", "<RenderingInfo><Message> </Message></RenderingInfo>").description, None);
}

#[test]
fn what_is_no_event_is_refused_with_its_reason() {
    let nested = format!("<Event>{}{}</Event>", "<a>".repeat(70), "</a>".repeat(70));
    let cases = [
        ("", EventError::Root),
        ("text", EventError::Root),
        ("<Evil/>", EventError::Root),
        ("<Event>", EventError::Xml("it ends too early")),
        ("<Event/><Event/>", EventError::Xml("it has more than one root")),
        ("<Event></System>", EventError::Xml("it is not well formed")),
        ("<Event>&lol;</Event>", EventError::Xml("it has an entity that XML does not know")),
        ("<!DOCTYPE e [<!ENTITY a 'b'>]><Event/>", EventError::Xml("it declares a document type")),
        (nested.as_str(), EventError::Xml("its elements are too deep within one another")),
    ];
    for (xml, error) in cases {
        assert_eq!(WindowsEvent::parse(xml), Err(error), "{xml}");
    }
    let large = " ".repeat(LARGEST_XML + 1);
    assert_eq!(WindowsEvent::parse(&large), Err(EventError::Large(LARGEST_XML + 1)));
}

#[test]
fn a_name_without_end_is_cut_so_that_every_row_fits() {
    let long = "ü".repeat(100_000);
    let xml = format!(
        "<Event><System><Provider Name='{long}'/><Channel>{}</Channel><Computer>c</Computer><Security UserID='{long}'/></System><EventData><Data>{long}</Data></EventData><RenderingInfo><Message>{}</Message></RenderingInfo></Event>",
        "c".repeat(60_000),
        "m".repeat(60_000),
    );
    let mut frames = Frames::default();
    WindowsEvent::parse(&xml).unwrap().write(&mut frames, Timestamp(0));
    let record = Record::decode(frame_at(frames.bytes()).unwrap().payload).unwrap();
    assert!(record.text(Column::Source).unwrap().len() <= LONGEST_NAME);
    assert_eq!(record.text(Column::EventLog).unwrap().len(), LONGEST_NAME);
    assert_eq!((frames.count(), frames.cut()), (1, 1));
}

#[test]
fn an_event_that_cannot_be_read_is_kept_as_it_came() {
    let event = WindowsEvent::unreadable("<Event", "System", Some(7));
    assert_eq!((event.event_data.as_str(), event.event_log.as_str()), ("<Event", "System"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = WindowsEvent::parse(&text);
    }

    #[test]
    fn no_damage_to_an_event_panics(at in 0..SERVICE.len(), with in "[<>/&;='\"a ]{0,6}", take in 0usize..20) {
        let begin = SERVICE.floor_char_boundary(at);
        let end = SERVICE.floor_char_boundary((at + take).min(SERVICE.len()));
        let damaged = format!("{}{with}{}", &SERVICE[..begin], &SERVICE[end..]);
        if let Ok(event) = WindowsEvent::parse(&damaged) {
            event.write(&mut Frames::default(), Timestamp(0));
        }
    }
}
