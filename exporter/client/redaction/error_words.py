"""The words that vendors' error messages are made of: what else they hold is not shown (`redaction.py`).

Neither a prompt nor a credential is made of these alone; names of products, people and things do not belong here.
"""

from __future__ import annotations

_ENGLISH = """
a about above accept accepted access account action active after again agent ai ak aksk all allow allowed already an
and another any api apigw app application are argument arrears as at auth authenticate authenticated authentication
authorised authorization authorized available back backend bad balance banned batch be been before below blocked body
broken busy but by call called calls can cannot cause certificate channel check client code codes commit completed
concurrency concurrent connect connection contact content could count created creating credential credentials credit
credits current daily data date deadline decrypt denied deprecated description detail details dial did disabled does
doesn domain done down due duplicate e empty enabled encoded encoding end endpoint enough environment error errors
exceed exceeded exceeds exception exhausted exist existed exists expired expires fail failed failing failure field
fields file find first for forbidden format found frequency frequent from full gateway get go grant group handle
handled happened has have header headers hint hit host hour http https i iam id if illegal in inactive incorrect info
information input insufficient internal invalid ip is it items its job jobs json key keys known last later layer less
let limit limited limits link list load log logged login long longer looking mail maintenance malformed many match
matched matches matching maximum may message meta method minute minutes missing mode model more msg mss must my name
network new next nginx no none not nothing now null number object occurred of off ok on one only open operation or
order our out overdue overloaded page pages parameter parameters parse parsing pass path paused payment pending per
perform permission permissions permitted platform please policy post present private problem processing prohibited
project prompt provide provided proxy public publish published put qps query quick quota quotas quoted range rate
reach reached read reason recharge refused region registered reject rejected renew request requested requests required
requires reset resource resources response result retry right role rows s safety said same scope second seconds
security see send server service session set short show sign signature signed size slow some soon sorry status still
stop stopped string submit success successful such support supported suspended syntax system t task tasks temporarily
temporary tenant than that the there they this threshold throttled throttling time timed timeout timestamp title to
token tokens too top total trace traffic try trying two type unable unauthenticated unauthorised unauthorized
unavailable unexpected unknown unpaid unprocessable unreachable unsupported until up upstream uri url use used user
valid validate validation value values verification verify version video videos wait was we well went were what when
where which while whitelist who why will with within without work working would wrong you your
"""

_CHINESE = """
令牌 访问令牌 密钥 签名 鉴权 认证 授权 未授权 无权限 无权 权限 登录 未登录 请先登录 重新登录 账号
账户 用户 白名单 验证失败 验证 校验 失败 成功 错误 异常 无效 有效 过期 已过期 失效 已失效 不存在 不可用
不合法 非法 不正确 不匹配 缺少 缺失 为空 不能 参数 格式 请求 频率 频繁 过于 过多 超出 超过 超限 限制
限流 上限 次数 并发 余额 不足 欠费 扣费 额度 配额 用尽 已用尽 已用完 充值 系统 服务 服务器 内部
繁忙 维护 网络 超时 上游 渠道 负载 饱和 已饱和 暂不 支持 不支持 接口 项目 租户 区域 状态 数据 任务
查询 获取 提交 未找到 找不到 未知 稍后 再试 重试 请 稍后再试 联系 管理员 当前 分组 您 您的 已 的 被
拒绝 禁用 已禁用 封禁 该 此 未 无 地址
"""

ENGLISH = frozenset(_ENGLISH.split())
CHINESE = tuple(sorted(_CHINESE.split(), key=len, reverse=True))
"""The longest first, since Chinese sets no spaces between words."""
