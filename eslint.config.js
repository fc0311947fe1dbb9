import js from "@eslint/js";

export default [
  {
    files: ["src/**/*.js"],
    ...js.configs.recommended,
    // Names that nobody defines are found by the type checker, which knows what browsers have.
    rules: { ...js.configs.recommended.rules, "no-undef": "off", "prefer-const": "error", eqeqeq: "error" },
  },
];
