// A SCIM server on SCIMMY that keeps its users in memory, for `scripts/bench-peers`: node scimmy.mjs PORT TOKEN
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const [port, token] = process.argv.slice(2);
const users = new Map();
let next = 1;

SCIMMY.Resources.declare(SCIMMY.Resources.User)
  .ingress((resource, user) => {
    const id = resource.id ?? String(next++);
    const now = new Date().toISOString();
    const stored = { ...JSON.parse(JSON.stringify(user)), id };
    stored.meta = { created: users.get(id)?.meta.created ?? now, lastModified: now };
    users.set(id, stored);
    return stored;
  })
  .egress((resource) => {
    if (!resource.id) return resource.filter ? resource.filter.match([...users.values()]) : [...users.values()];
    const user = users.get(resource.id);
    if (!user) throw new SCIMMY.Types.Error(404, null, `there is no user ${resource.id}`);
    return user;
  })
  .degress((resource) => {
    users.delete(resource.id);
  });

const app = express();
app.use("/scim/v2", new SCIMMYRouters({
  type: "bearer",
  handler: (request) => {
    if (request.header("authorization") !== `Bearer ${token}`) throw new Error("unknown token");
    return "bench";
  },
}));
app.listen(Number(port), "127.0.0.1", () => console.log("listening"));
