/** ONNX Runtime, as `nevus web` lays it into the folder. */
declare module "*/ort.wasm.bundle.min.js" {
  export * from "onnxruntime-web";
}
