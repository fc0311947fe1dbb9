// The types of the page. An engine is a module with the names of `Engine`: index.html names the one that the page
// asks. Only the type checker reads this file; the types of the model are those of docs/model-file.md.

/** What answers the page: `engines/server.js` asks the server, `engines/browser.js` runs the model in the page. */
export interface Engine {
  /** Where the images go, in words for the person who is about to choose some. */
  privacy: string;
  /** How many files the page asks about at the same time. */
  atOnce: number;
  /** What to look at or to do when a question failed: a sentence. */
  advice: string;
  /** Thrown by `loadModel` and `predict` when a key is wanted: the page asks for one and tries again. */
  KeyRequired: new () => Error;
  /** The key for all further questions. */
  useKey(text: string): void;
  /** Called once, before anything else but `useKey`. Throws an error whose message the page shows. */
  loadModel(): Promise<Described>;
  /** Says what the model makes of one file, or why it gives no answer. May throw if there is no reaching the model. */
  predict(file: File): Promise<Answer>;
}

/** The compiler refuses an engine that lacks a part or has another one in its place. */
type Complete<E extends Engine> = E;
export type Engines = Complete<typeof import("./engines/server.js")> | Complete<typeof import("./engines/browser.js")>;

/** What the page knows of its model. */
export interface Described {
  model: Model;
  /** Colours as #rrggbb, and the opacity of the strongest place in [0, 1]. */
  heatmap_colours: { raises: string; lowers: string; strongest: number };
}

export interface Model {
  network: string;
  num_parameters: number;
  /** Side of the square that the network sees, in pixels. */
  image_size: number;
  classes: Classes;
  operating_points: OperatingPoint[];
  default_operating_point: string;
  triage: Triage;
  /** An image is unlike those of training where its familiarity is below the limit. Null for a model that does not tell. */
  familiarity: { limit: number } | null;
  /** In (0, 1): the share of malignant lesions for which the risks are right. */
  assumed_prevalence: number;
  /** Value and the ends of its interval. */
  test_metrics: Record<string, [number | null, number | null, number | null]>;
  trained_on: string;
  generated: boolean;
  licence: string;
  intended_use: string;
  limitations: string;
}

export interface Classes {
  /** In the order of the probabilities. */
  names: string[];
  malignant: string[];
}

/** A threshold on the risk, with what it reached on validation. */
export interface OperatingPoint {
  name: string;
  /** 'adaptation' if the model was adapted to a place: its metrics are of that place then. */
  fitted_on: string;
  threshold: number;
  rule: string;
  sensitivity: Estimate;
  specificity: Estimate;
}

/** Null where a metric, or its interval, is not known. */
export interface Estimate {
  value: number | null;
  low: number | null;
  high: number | null;
}

/** Thresholds on the risk; a model whose rule_in is null calls nothing high. */
export interface Triage {
  rule_out: number;
  rule_in: number | null;
}

export type Band = "low" | "uncertain" | "high";
export type Answer = Answered | Refused;

/** The risk in [0, 1], the probability of each class, familiarity if it is told, and the heatmap if there is one. */
export interface Answered {
  risk: number;
  /** In [0, 1]: the share of the validation images that are less like those of training. */
  familiarity: number | null;
  probabilities: Record<string, number>;
  heatmap: Heatmap | null;
  /** What to know of how the file was read. Null if nothing, or if the browser does not tell. */
  note: string | null;
  error: null;
}

export interface Refused {
  error: Problem;
}

/** A word for programs, and words for people. */
export interface Problem {
  code: string;
  message: string;
}

/** A picture to lay over the whole image: its address, and width by height of the image that the model saw. */
export interface Heatmap {
  url: string;
  ratio: number;
}

/** What an answer means at the settings chosen: a row of the CSV. Without risk and error, the answer is on its way. */
export interface Reading {
  file: string;
  risk: number | null;
  decision: "malignant" | "benign" | null;
  operating_point: string;
  threshold: number;
  triage: Band | null;
  /** Null if the one that the model assumes was left as it is. */
  prevalence: number | null;
  risk_at_prevalence: number | null;
  familiarity: number | null;
  unfamiliar: boolean | null;
  probabilities: Record<string, number>;
  note: string | null;
  error: Problem | null;
}
