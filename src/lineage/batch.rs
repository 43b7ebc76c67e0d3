//! Flows as the rows of their table.

use super::decode::Encoding;
use super::flow::{End, Flow};
use crate::call::{capability_names, partition_day};
use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Flows as rows of the table `flows`.
///
/// # Errors
/// Arrow refuses the columns: the schema is not that of the table.
pub fn flows_to_batch(schema: &SchemaRef, flows: &[Flow]) -> Result<RecordBatch, ArrowError> {
    let text = |get: &dyn Fn(&Flow) -> Option<String>| {
        let mut column = StringBuilder::new();
        flows.iter().for_each(|flow| column.append_option(get(flow)));
        Arc::new(column.finish()) as ArrayRef
    };
    let short = |get: &dyn for<'f> Fn(&'f Flow) -> Option<&'f str>| {
        let mut column = StringBuilder::new();
        flows.iter().for_each(|flow| column.append_option(get(flow)));
        Arc::new(column.finish()) as ArrayRef
    };
    let time = |get: &dyn Fn(&Flow) -> Option<i64>| {
        let mut column = TimestampMicrosecondBuilder::new().with_timezone("UTC");
        flows.iter().for_each(|flow| column.append_option(get(flow)));
        Arc::new(column.finish()) as ArrayRef
    };
    let capabilities = |end: &dyn for<'f> Fn(&'f Flow) -> &'f End| {
        let element = Field::new("element", DataType::Utf8, true);
        let mut column = ListBuilder::new(StringBuilder::new()).with_field(element);
        for flow in flows {
            capability_names(end(flow).capabilities).into_iter().for_each(|name| column.values().append_value(name));
            column.append(true);
        }
        Arc::new(column.finish()) as ArrayRef
    };
    let integer = |get: &dyn Fn(&Flow) -> i64| {
        let mut column = Int64Builder::new();
        flows.iter().for_each(|flow| column.append_value(get(flow)));
        Arc::new(column.finish()) as ArrayRef
    };
    let double = |get: &dyn Fn(&Flow) -> Option<f64>| {
        let mut column = Float64Builder::new();
        flows.iter().for_each(|flow| column.append_option(get(flow)));
        Arc::new(column.finish()) as ArrayRef
    };
    let truth = |get: &dyn Fn(&Flow) -> Option<bool>| {
        let mut column = BooleanBuilder::new();
        flows.iter().for_each(|flow| column.append_option(get(flow)));
        Arc::new(column.finish()) as ArrayRef
    };
    let mut day = Date32Builder::new();
    flows
        .iter()
        .for_each(|flow| day.append_option(partition_day(flow.sink.time.map(|micros| micros.saturating_mul(1000)))));
    let columns = schema.fields().iter().map(|field| {
        let column = match field.name().as_str() {
            "flow_id" => text(&|flow| Some(flow.id())),
            "session_id" => short(&|flow| Some(&flow.session_id)),
            "agent" => short(&|flow| flow.agent.as_deref()),
            "time" => time(&|flow| flow.sink.time),
            "kind" => short(&|flow| Some(flow.kind.as_str())),
            "encoding" => short(&|flow| flow.encoding.map(Encoding::as_str)),
            "source_call_id" => short(&|flow| Some(&flow.source.call_id)),
            "source_time" => time(&|flow| flow.source.time),
            "source_server" => short(&|flow| flow.source.server.as_deref()),
            "source_tool" => short(&|flow| flow.source.tool.as_deref()),
            "source_capabilities" => capabilities(&|flow| &flow.source),
            "sink_call_id" => short(&|flow| Some(&flow.sink.call_id)),
            "sink_server" => short(&|flow| flow.sink.server.as_deref()),
            "sink_tool" => short(&|flow| flow.sink.tool.as_deref()),
            "sink_capabilities" => capabilities(&|flow| &flow.sink),
            "sink_path" => short(&|flow| flow.sink_path.as_deref()),
            "destination" => short(&|flow| flow.destination.as_deref()),
            "bytes" => integer(&|flow| flow.bytes),
            "sink_share" => double(&|flow| Some(flow.sink_share)),
            "source_share" => double(&|flow| Some(flow.source_share)),
            "calls_between" => integer(&|flow| flow.calls_between),
            "first_origin" => truth(&|flow| Some(flow.first_origin)),
            "user_named" => truth(&|flow| flow.user_named),
            "value" => short(&|flow| flow.value.as_deref()),
            "value_hash" => short(&|flow| flow.value_hash.as_deref()),
            "sentence" => short(&|flow| flow.sentence.as_deref()),
            "score" => double(&|flow| flow.score),
            "day" => Arc::new(std::mem::take(&mut day).finish()) as ArrayRef,
            other => return Err(ArrowError::SchemaError(format!("flows has no column {other}"))),
        };
        Ok(column)
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)
}
