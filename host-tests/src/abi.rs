//! The numbers of the proxy-wasm ABI 0.2.1, as its specification and the C++
//! host of Envoy define them.

/// Defines an enum whose variants are numbers of the ABI.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)+
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number,)+
        }

        impl $name {
            /// The variant with this number, if there is one.
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

numbered! {
    /// What a host call answers.
    Status {
        /// Done.
        Ok = 0,
        /// There is no such thing.
        NotFound = 1,
        /// An argument is outside its range, or of no use in this phase.
        BadArgument = 2,
        /// A value could not be written in the form of the ABI.
        SerializationFailure = 3,
        /// A value could not be read.
        ParseFailure = 4,
        /// A pointer of the guest leads outside its memory.
        InvalidMemoryAccess = 6,
        /// The queue has nothing.
        Empty = 7,
        /// Somebody else wrote in between.
        CasMismatch = 8,
        /// The result is not of the expected form.
        ResultMismatch = 9,
        /// The host failed.
        InternalFailure = 10,
        /// This host does not have the call.
        Unimplemented = 12,
    }
}

numbered! {
    /// How grave a log line is.
    LogLevel {
        /// Every step.
        Trace = 0,
        /// For whoever develops the filter.
        Debug = 1,
        /// Worth knowing.
        Info = 2,
        /// Worth looking into.
        Warn = 3,
        /// Something failed.
        Error = 4,
        /// The filter cannot go on.
        Critical = 5,
    }
}

numbered! {
    /// Buffers that a guest can read.
    BufferType {
        /// Body of the request.
        HttpRequestBody = 0,
        /// Body of the response.
        HttpResponseBody = 1,
        /// Bytes from the client of a TCP connection.
        DownstreamData = 2,
        /// Bytes from the server of a TCP connection.
        UpstreamData = 3,
        /// Body of the answer to an HTTP callout.
        HttpCallResponseBody = 4,
        /// The gRPC message that is being delivered.
        GrpcReceiveBuffer = 5,
        /// Configuration of the VM.
        VmConfiguration = 6,
        /// Configuration of the plugin; readable while it is configured.
        PluginConfiguration = 7,
        /// Argument of a foreign function.
        CallData = 8,
    }
}

numbered! {
    /// Header maps that a guest can read or change.
    MapType {
        /// Headers of the request.
        HttpRequestHeaders = 0,
        /// Trailers of the request.
        HttpRequestTrailers = 1,
        /// Headers of the response.
        HttpResponseHeaders = 2,
        /// Trailers of the response.
        HttpResponseTrailers = 3,
        /// First metadata of a gRPC answer.
        GrpcReceiveInitialMetadata = 4,
        /// Last metadata of a gRPC answer.
        GrpcReceiveTrailingMetadata = 5,
        /// Headers of the answer to an HTTP callout.
        HttpCallResponseHeaders = 6,
        /// Trailers of the answer to an HTTP callout.
        HttpCallResponseTrailers = 7,
    }
}

numbered! {
    /// Kinds of stats.
    MetricType {
        /// Goes up.
        Counter = 0,
        /// Goes up and down.
        Gauge = 1,
        /// A distribution.
        Histogram = 2,
    }
}

numbered! {
    /// What can be continued or closed.
    StreamType {
        /// The request of an HTTP stream.
        HttpRequest = 0,
        /// The response of an HTTP stream.
        HttpResponse = 1,
        /// The client's side of a TCP connection.
        Downstream = 2,
        /// The server's side of a TCP connection.
        Upstream = 3,
    }
}

/// The root context of the one plugin of a VM.
pub(crate) const ROOT_CONTEXT: u32 = 1;
