//! The `latchkey` binary.
fn main() {
    for crd in latchkey::resources::definitions() {
        println!("{}", serde_saphyr::to_string(&crd).unwrap_or_default());
    }
}
