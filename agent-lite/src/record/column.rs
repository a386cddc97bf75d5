/// What a column's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text, at most [`super::LARGEST_FIELD`] bytes.
    Text,
    /// A signed integer.
    Integer,
    /// A finite floating point number.
    Real,
    /// A time with microseconds.
    Time,
    /// JSON, already written.
    Json,
}

macro_rules! columns {
    ($($name:ident = $number:literal $kind:ident $text:literal),* $(,)?) => {
        /// A column, by Azure Monitor's own name. The number is its form on the disk and never changes.
        ///
        /// `TimeGenerated` is the record's own time, and `Computer`, `SourceSystem` and the like are the
        /// same for every record of an agent: the transports add them. Only `Event` has a `Computer` of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Column {
            $(#[doc = $text] $name = $number,)*
        }

        impl Column {
            /// Every column.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns Azure Monitor's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Returns what its values are.
            pub fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)* }
            }

            /// Returns the column of a number on the disk.
            pub fn of_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

columns! {
    // Syslog
    EventTime = 1 Time "EventTime",
    HostName = 2 Text "HostName",
    HostIp = 3 Text "HostIP",
    Facility = 4 Text "Facility",
    SeverityLevel = 5 Text "SeverityLevel",
    ProcessName = 6 Text "ProcessName",
    ProcessId = 7 Integer "ProcessID",
    SyslogMessage = 8 Text "SyslogMessage",
    // Perf
    ObjectName = 16 Text "ObjectName",
    InstanceName = 17 Text "InstanceName",
    CounterName = 18 Text "CounterName",
    CounterValue = 19 Real "CounterValue",
    // Custom text logs
    RawData = 24 Text "RawData",
    FilePath = 25 Text "FilePath",
    // Heartbeat
    OsType = 32 Text "OSType",
    OsName = 33 Text "OSName",
    OsMajorVersion = 34 Text "OSMajorVersion",
    OsMinorVersion = 35 Text "OSMinorVersion",
    Version = 36 Text "Version",
    ScAgentChannel = 37 Text "SCAgentChannel",
    Category = 38 Text "Category",
    ComputerPrivateIps = 39 Json "ComputerPrivateIPs",
    VmUuid = 40 Text "VMUUID",
    ComputerEnvironment = 41 Text "ComputerEnvironment",
    InstalledDate = 42 Time "InstalledDate",
    // Operation
    Solution = 48 Text "Solution",
    OperationCategory = 49 Text "OperationCategory",
    OperationStatus = 50 Text "OperationStatus",
    OperationKey = 51 Text "OperationKey",
    Detail = 52 Text "Detail",
    HelpLink = 53 Text "HelpLink",
    // Event
    Computer = 64 Text "Computer",
    Source = 65 Text "Source",
    EventLog = 66 Text "EventLog",
    EventLevel = 67 Integer "EventLevel",
    EventLevelName = 68 Text "EventLevelName",
    EventId = 69 Integer "EventID",
    EventCategory = 70 Integer "EventCategory",
    UserName = 71 Text "UserName",
    ParameterXml = 72 Text "ParameterXml",
    EventData = 73 Text "EventData",
    RenderedDescription = 74 Text "RenderedDescription",
    // W3CIISLog, and what a line of IIS has besides
    SSiteName = 96 Text "sSiteName",
    SComputerName = 97 Text "sComputerName",
    SIp = 98 Text "sIP",
    SPort = 99 Integer "sPort",
    CsMethod = 100 Text "csMethod",
    CsUriStem = 101 Text "csUriStem",
    CsUriQuery = 102 Text "csUriQuery",
    CsUserName = 103 Text "csUserName",
    CIp = 104 Text "cIP",
    CsVersion = 105 Text "csVersion",
    CsUserAgent = 106 Text "csUserAgent",
    CsCookie = 107 Text "csCookie",
    CsReferer = 108 Text "csReferer",
    CsHost = 109 Text "csHost",
    ScStatus = 110 Text "scStatus",
    ScSubStatus = 111 Text "scSubStatus",
    ScWin32Status = 112 Text "scWin32Status",
    ScBytes = 113 Integer "scBytes",
    CsBytes = 114 Integer "csBytes",
    TimeTaken = 115 Integer "TimeTaken",
    CustomFields = 116 Json "CustomFields",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_found_again_by_its_number() {
        for &column in Column::ALL {
            assert_eq!(Column::of_number(column as u8), Some(column));
        }
        assert_eq!(Column::of_number(0), None);
    }
}
