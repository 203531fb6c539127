//! Prints the JSON Schema of the plugin configuration.

fn main() {
    print!("{}", kya_filter::config::json_schema());
}
