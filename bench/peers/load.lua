-- The requests that wrk sends. Its arguments are the workload, the ETag of the lister's list or the paths of the
-- planner's pages, how many tasks the lister has, how many others there are, and how many tasks each of these has;
-- and for the planner one less than the number of the first task, and how many are in the list.

local json = { ["Content-Type"] = "application/json" }
local body = '{"title": "Buy milk", "description": "Two litres of it"}'
local told, own, others, each, first, listed
local pages = {}

local function list(user)
  return "/api/" .. user .. "/tasks"
end

local function task(user, number)
  return string.format("/api/%s/tasks/01900000-0000-7000-8000-%012x", user, number)
end

local function own_task()
  return task("lister", math.random(own))
end

local function read() return wrk.format("GET", own_task()) end
local function create() return wrk.format("POST", list("writer"), json, body) end
local function toggle() return wrk.format("POST", own_task() .. "/toggle") end
local function poll()
  wrk.headers["If-None-Match"] = told
  return wrk.format("GET", list("lister"))
end

-- Of a hundred requests sixty read a task, thirty a page, five create and five toggle.
local function mix()
  local other, kind = math.random(0, others - 1), math.random(100)
  local user = "other-" .. other
  if kind <= 5 then return wrk.format("POST", list(user), json, body) end
  if kind <= 35 then return wrk.format("GET", list(user) .. "?limit=50") end
  local path = task(user, (other + 1) * 1000000 + math.random(each))
  if kind <= 40 then return wrk.format("POST", path .. "/toggle") end
  return wrk.format("GET", path)
end

local function page() return wrk.format("GET", pages[math.random(#pages)]) end

local function move()
  local number = math.random(listed)
  local other = (number + math.random(listed - 1) - 1) % listed + 1
  local behind = string.match(task("planner", first + other), "[^/]+$")
  return wrk.format("POST", task("planner", first + number) .. "/move", json, '{"after": "' .. behind .. '"}')
end

-- A function for requests that differ, a path for one that does not.
local workloads = { W1 = read, W2 = create, W3 = list("lister") .. "?limit=50", W4 = list("lister"), W5 = toggle,
                    W6 = poll, W7 = mix, W8 = list("planner") .. "?due=overdue,today", W9 = page, W10 = move }

function init(arguments)
  local workload = workloads[arguments[1]]
  told = arguments[2]
  for path in string.gmatch(told, "%S+") do pages[#pages + 1] = path end
  own, others, each = tonumber(arguments[3]), tonumber(arguments[4]), tonumber(arguments[5])
  first, listed = tonumber(arguments[6]), tonumber(arguments[7])
  math.randomseed(os.time())
  for name, value in pairs(wrk.headers) do json[name] = value end
  if type(workload) == "function" and workload ~= create and workload ~= poll then
    request = workload
  else
    local sent = type(workload) == "string" and wrk.format("GET", workload) or workload()
    request = function() return sent end
  end
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "bytes": %d, "p50": %d, "p99": %d, "errors": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
