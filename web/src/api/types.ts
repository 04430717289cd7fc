// Short names for the schemas of api/openapi.yaml that the page uses.
import type { components } from "./schema.js";

type Schemas = components["schemas"];

export type Document = Schemas["Document"];
export type DocumentStatus = Schemas["DocumentStatus"];
export type ListedStatus = Schemas["ListedStatus"];
export type DocumentReason = Schemas["DocumentReason"];
export type DocumentPage = Schemas["DocumentPage"];
export type DocumentCounts = Schemas["DocumentCounts"];
export type BatchAction = Schemas["BatchAction"];
export type Topic = Schemas["Topic"];
export type TopicEvidence = Schemas["TopicEvidence"];
export type User = Schemas["User"];
export type UserPatch = Schemas["UserPatch"];
export type ClientConfig = Schemas["ClientConfig"];
export type Problem = Schemas["Problem"];
export type ProblemCode = Schemas["ProblemCode"];
export type UploadItem = Schemas["UploadItem"];
export type UploadResult = Schemas["UploadResult"];
