//! Prints the OpenAPI document of the HTTP API.

fn main() {
    print!("{}", kya_control_plane::openapi::text());
}
