import type {Messages} from "./index.js"; export const messages: Messages = {"x": "y"};
